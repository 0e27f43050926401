"""Another library in the same process: its own memory and streams on the device's primary context, by the driver's functions alone."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

LIBRARY = ctypes.CDLL("libcuda.so.1")
BLOCKING, NON_BLOCKING = 0, 1


def call(name: str, *arguments: Any) -> None:
    """A function of the driver; raises RuntimeError for a status that is not 0."""
    status = getattr(LIBRARY, name)(*arguments)
    if status:
        raise RuntimeError(f"{name}: error {status}")


def emulated(name: str) -> int:
    """A counter of the emulated driver."""
    counter = getattr(LIBRARY, f"emulated_{name}")
    counter.restype = ctypes.c_ulong
    return counter()


class Stream:
    """A stream of this library, or with `flags=None` the legacy default stream."""

    def __init__(self, flags: int | None = NON_BLOCKING, device: int = 0) -> None:
        self.context = ctypes.c_void_p()
        call("cuDevicePrimaryCtxRetain", ctypes.byref(self.context), device)
        self.handle = ctypes.c_void_p()
        with self:
            if flags is not None:
                call("cuStreamCreate", ctypes.byref(self.handle), flags)

    @property
    def number(self) -> int:
        """Its address, or 1."""
        return self.handle.value or 1

    def __enter__(self) -> None:
        call("cuCtxPushCurrent_v2", self.context)

    def __exit__(self, *error: object) -> None:
        call("cuCtxPopCurrent_v2", None)

    def fill(self, address: int, value: float, n: int) -> None:
        """Queue: n float32 at an address become this value."""
        with self:
            bits = int(np.float32(value).view(np.uint32))
            call("cuMemsetD32Async", ctypes.c_uint64(address), bits, ctypes.c_size_t(n), self.handle)

    def copy(self, to: int, source: int, size: int) -> None:
        """Queue: bytes from one address to another."""
        with self:
            call("cuMemcpyDtoDAsync_v2", ctypes.c_uint64(to), ctypes.c_uint64(source), ctypes.c_size_t(size), self.handle)

    def synchronize(self) -> None:
        """Wait for what was queued."""
        with self:
            call("cuStreamSynchronize", self.handle)


class Tensor:
    """n float32 of this library. Its memory is used again by the library's stream as soon as nothing refers to it."""

    def __init__(self, stream: Stream, value: float, n: int = 1024) -> None:
        self.stream, self.n = stream, n
        address = ctypes.c_uint64()
        with stream:
            call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(4 * n))
        self.address = address.value
        stream.fill(self.address, value, n)

    def __del__(self) -> None:
        # As a caching allocator: the next tensor has its memory, without waiting for anybody.
        self.stream.fill(self.address, -1.0, self.n)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        data = (self.address, False)
        return {"shape": (self.n,), "typestr": "<f4", "data": data, "version": 3, "strides": None, "stream": self.stream.number}

    def numpy(self) -> np.ndarray:
        """The values, once what the library queued is done."""
        found = np.empty(self.n, "float32")
        self.stream.synchronize()
        with self.stream:
            at = found.ctypes.data_as(ctypes.c_void_p)
            call("cuMemcpyDtoHAsync_v2", at, ctypes.c_uint64(self.address), ctypes.c_size_t(found.nbytes), self.stream.handle)
            call("cuStreamSynchronize", self.stream.handle)
        return found
