"""The driver through PyCUDA, whose functions raise and are of C as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: CU_STREAM_NON_BLOCKING
_NON_BLOCKING = 1


class _Device:
    def __init__(self, native: Any, number: int) -> None:
        self._native, self._handle = native, native.Device(number)
        self.name: str = self._handle.name()
        self.arch: str = "sm_{}{}".format(*self._handle.compute_capability())

    def attribute(self, name: str) -> int:
        return int(self._handle.get_attribute(getattr(self._native.device_attribute, name)))

    def retain(self) -> Any:
        return self._handle.retain_primary_context()


class _Module:
    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def function(self, name: str) -> Callable[..., Any]:
        # What `prepared_async_call` calls once it has packed the arguments.
        launch: Callable[..., Any] = self._handle.get_function(name)._launch_kernel
        return launch


class PyCuda:
    """`seam.Driver` made of `pycuda.driver`. Raises: ImportError where the driver's library is missing."""

    def __init__(self) -> None:
        import pycuda.driver as native

        self._native: Any = native
        self.Error: type[Exception] = native.Error
        self.MemoryError: type[Exception] = native.MemoryError
        self.memcpy_htod_async: Any = native.memcpy_htod_async
        self.memcpy_dtoh_async: Any = native.memcpy_dtoh_async
        self.memcpy_dtod_async: Any = native.memcpy_dtod_async
        self.memset_d32_async: Any = native.memset_d32_async
        self.synchronize: Any = native.Context.synchronize
        self.mem_alloc: Any = native.mem_alloc
        self.version: Any = native.get_driver_version
        self.init: Any = native.init
        self.count: Any = native.Device.count

    def device(self, number: int) -> _Device:
        """A device."""
        return _Device(self._native, number)

    def stream(self) -> Any:
        """A stream that neither waits for the default one nor holds it up."""
        return self._native.Stream(_NON_BLOCKING)

    def event(self, timed: bool = False) -> Any:
        """An event."""
        flags = self._native.event_flags
        return self._native.Event(flags.DEFAULT if timed else flags.DISABLE_TIMING)

    def pool(self) -> Any:
        """A pool of the current context's memory."""
        from pycuda.tools import DeviceMemoryPool

        return DeviceMemoryPool()

    def page_locked(self, size: int) -> Any:
        """An array of bytes of the host that the driver copies from late."""
        return self._native.pagelocked_empty(size, "uint8")

    def load(self, cubin: bytes) -> _Module:
        """Kernels of compiled code."""
        return _Module(self._native.module_from_buffer(cubin))
