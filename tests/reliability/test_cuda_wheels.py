"""The way to a device through cuda-bindings and NVRTC: what of it needs no device. The rest runs on the emulation, see `.ci/cuda`."""

from __future__ import annotations

import ctypes
import importlib
import inspect
import re

import numpy as np
import pytest

import tlean as tl
from tlean._core.device.answers import Call, Kernel, Pool
from tlean.cuda.kernels import sources
from tlean.cuda.kernels.plan import Family
from tlean.cuda.runtime import nvrtc
from tlean.cuda.runtime.drivers import with_bindings


class Refusal(Exception):
    """What a call that fails raises here."""


def refused(function, status):
    return Refusal(function.__name__, status)


# Calls ----------------------------------------------------------------------------------------------------------------------------


def test_calls_give_what_follows_the_status():
    assert Call(lambda *xs: (0, sum(xs)), refused)(1, 2) == 3
    assert Call(lambda *xs: (0, xs), refused, (7,))(1) == (7, 1)
    assert Call(lambda: (0,), refused)() is None

    def wrong():
        return (700, None)

    with pytest.raises(Refusal, match=r"'wrong', 700"):
        Call(wrong, refused)()


@pytest.mark.parametrize("host", [np.ones((2, 3), "float32"), np.float32([5]), np.array(2.0), np.zeros((0, 4)), bytearray(8)], ids=repr)
def test_arrays_of_the_host_are_passed_as_addresses(host):
    """An array without axes too, which the package would take for a number."""
    address = np.frombuffer(host, np.uint8).ctypes.data if isinstance(host, bytearray) else host.ctypes.data
    size = len(host) if isinstance(host, bytearray) else host.nbytes
    assert Call(lambda *xs: (0, xs), refused, sized=1)(16, host, "stream") == (16, address, size, "stream")
    assert Call(lambda *xs: (0, xs), refused, sized=0)(host, 16, "stream") == (address, 16, size, "stream")


def test_kernels_get_their_packed_arguments():
    def launched(handle, *rest):
        *geometry, shared, stream, parameters, extra = rest
        words = (ctypes.c_size_t * 5).from_address(extra)
        size = ctypes.c_size_t.from_address(words[3]).value
        assert (words[0], words[2], words[4], parameters) == (1, 2, 0, 0)
        seen.append((handle, geometry, shared, stream, ctypes.string_at(words[1], size)))
        return (status,)

    seen, status = [], 0
    Kernel(launched, refused, "f")((1, 2, 3), (4, 5, 6), bytearray(b"packed"), 0, "stream")
    assert seen == [("f", [1, 2, 3, 4, 5, 6], 0, "stream", b"packed")]
    status = 1
    with pytest.raises(Refusal, match="1"):
        Kernel(launched, refused, "f")((1, 1, 1), (1, 1, 1), bytearray(1), 0, "stream")


# Memory ---------------------------------------------------------------------------------------------------------------------------


class Full(Exception):
    """The driver has no memory left."""


class Memory:
    """A driver with so many bytes."""

    def __init__(self, total):
        self.left, self.sizes, self.next = total, {}, 4096

    def allocate(self, size):
        if size > self.left:
            raise Full
        self.left -= size
        self.next += 1 << 20
        self.sizes[self.next] = size
        return self.next

    def release(self, address):
        self.left += self.sizes.pop(address)


def test_a_pool_hands_out_again_what_it_got_back():
    memory = Memory(1 << 20)
    pool = Pool(memory.allocate, memory.release, Full)
    a = pool.allocate(1000)
    at = int(a)
    b = pool.allocate(1000)
    assert at != int(b) and (pool.managed_bytes, pool.active_bytes) == (2048, 2048)
    a.free()
    a.free()
    assert (pool.managed_bytes, pool.active_bytes) == (2048, 1024)
    again = pool.allocate(1024)
    assert int(again) == at, "of the same size"
    del b, again
    assert (pool.managed_bytes, pool.active_bytes, len(memory.sizes)) == (2048, 0, 2)
    pool.free_held()
    assert (pool.managed_bytes, memory.sizes) == (0, {})


def test_a_pool_that_is_full_gives_up_what_it_holds():
    memory = Memory(4096)
    pool = Pool(memory.allocate, memory.release, Full)
    pool.allocate(1024)
    kept = pool.allocate(1536)
    assert memory.left == 1536
    large = pool.allocate(2560)
    assert pool.managed_bytes == pool.active_bytes == 4096
    with pytest.raises(Full):
        pool.allocate(1)
    assert pool.active_bytes == 4096
    pool.stop_holding()
    kept.free()
    del large
    assert (pool.managed_bytes, memory.left) == (0, 4096)


def test_sizes_of_a_pool():
    for size in (*range(1, 5000, 7), *(k << s for s in range(10, 40, 3) for k in (17, 31, 32, 33))):
        whole = Pool.rounded(size)
        assert whole % 512 == 0 and size <= whole < size + 512 + size // 16
        assert Pool.rounded(whole) == whole


# The packages themselves ----------------------------------------------------------------------------------------------------------


def package(name):
    """cuda.bindings' module of that name, or what it takes to have it."""
    try:
        return importlib.import_module(f"cuda.bindings.{name}")
    except ImportError:
        pytest.skip("needs cuda-bindings: pip install 'tlean[cuda-wheels]'")


@pytest.mark.parametrize("module, name, pattern", [(with_bindings, "driver", r"\bcu[A-Z]\w+"), (nvrtc, "nvrtc", r"\bnvrtc[A-Z]\w+")])
def test_the_package_has_what_is_called(module, name, pattern):
    found = package(name)
    names = {*re.findall(pattern, inspect.getsource(module))}
    assert len(names) > 9 and not [n for n in names if not hasattr(found, n)]


def compiler():
    """Skips where NVRTC is not here, or is the emulation's."""
    package("nvrtc")
    try:
        archs = nvrtc.known()
    except (RuntimeError, tl.DeviceError) as error:
        pytest.skip(f"needs NVRTC: pip install 'tlean[cuda-wheels]' ({error})")
    if len(archs) == 1:
        pytest.skip("needs NVIDIA's NVRTC, not the emulation's")


def test_nvrtc_takes_every_source():
    """By its front end, where it differs from nvcc; one small family down to the machine's code, for sm_80 and sm_90."""
    compiler()
    for name, family in sources().items():
        nvrtc.compiled(name, family.source, [*nvrtc.flags(family), "--fdevice-syntax-only"], "compute_90", "ptx")
    small = sources()["create"]
    for arch in ("sm_80", "sm_90"):
        assert nvrtc.compiled("create", small.source, nvrtc.flags(small), arch, "cubin")[:4] == b"\x7fELF"


def test_nvrtc_knows_what_nvcc_knows_without_headers():
    """What a user's own source may need: NVRTC has no headers."""
    compiler()
    source = """
    #include <cstdint>
    #include <math.h>
    extern "C" __global__ void f(int64_t *x, float *y, double *z) {
        x[0] = UINT_MAX + uint32_t(3) + INT_MIN + LLONG_MIN + CHAR_BIT;
        y[0] = INFINITY + NAN + FLT_MAX + HUGE_VALF;
        z[0] = M_PI + DBL_EPSILON + HUGE_VAL;
    }"""
    family = Family("f", source, {})
    assert nvrtc.compiled("f", source, nvrtc.flags(family), "sm_90", "cubin")


def test_nvrtc_says_what_is_wrong():
    compiler()
    flags = nvrtc.flags(Family("f", "", {}))
    with pytest.raises(tl.DeviceError, match=r"'wrong' for sm_90: wrong\.cu\(1\): error"):
        nvrtc.compiled("wrong", "no CUDA C", flags, "sm_90", "cubin")
    with pytest.raises(tl.DeviceError, match=r"for sm_10: nvrtc: error: invalid value for --gpu-architecture"):
        nvrtc.compiled("f", 'extern "C" __global__ void f() {}', flags, "sm_10", "cubin")


def test_a_missing_nvrtc_is_named(monkeypatch):
    class Library:
        @staticmethod
        def nvrtcVersion():
            raise RuntimeError("Failed to load libnvrtc.so.13")

    monkeypatch.setattr(nvrtc, "_library", lambda: Library)
    with pytest.raises(tl.DeviceError, match=r"NVRTC.*Failed to load libnvrtc\.so\.13.*pip install 'tlean\[cuda-wheels\]'"):
        nvrtc.compiler_version()
