"""The driver through NVIDIA's cuda-bindings, whose functions answer with a status and are made to raise it here."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from tlean._core.device.answers import Call, Kernel, Pool

#: CU_STREAM_NON_BLOCKING, CU_EVENT_DISABLE_TIMING, and what the driver answers where memory or work is left.
_NON_BLOCKING, _DISABLE_TIMING, _NO_MEMORY, _NOT_READY = 1, 2, 2, 600


class DriverError(Exception):
    """The driver refuses a call, or reports what work that was queued before has met."""


class DriverMemoryError(DriverError):
    """A device has no memory left."""


def _failed(native: Any, function: Any, status: Any) -> DriverError:
    # The message is PyCUDA's.
    text = native.cuGetErrorString(status)[1] or native.cuGetErrorName(status)[1] or b"unknown error"
    kind = DriverMemoryError if int(status) == _NO_MEMORY else DriverError
    return kind(f"{function.__name__} failed: {text.decode(errors='replace')} (error {int(status)})")


class _Functions:
    # The package's functions by name, as calls that raise.

    def __init__(self, native: Any) -> None:
        self.native = native
        self.failed = functools.partial(_failed, native)

    def __getattr__(self, name: str) -> Call:
        made = Call(getattr(self.native, name), self.failed)
        setattr(self, name, made)
        return made

    def bound(self, name: str, *arguments: Any) -> Call:
        """A function with its first arguments."""
        return Call(getattr(self.native, name), self.failed, arguments)


class _Handle:
    # Something of the driver's, which is told when nothing refers to it any more. How that goes is not looked at: in a context that is gone
    # nothing is left to end. Kernels stay as long as their context.

    def __init__(self, handle: Any, end: Any) -> None:
        self.handle, self._end = handle, end

    def __del__(self) -> None:
        # Without an end it was never made.
        if hasattr(self, "_end"):
            self._end(self.handle)


class Stream(int):
    """A stream's handle, which the package takes as it is."""

    synchronize: Call
    _functions: _Functions
    _owner: _Handle

    @property
    def handle(self) -> int:
        """The driver's number for it."""
        return int(self)

    def is_done(self) -> bool:
        """Whether nothing is left to do. Raises: DriverError for work that failed."""
        return _passed(self._functions, "cuStreamQuery", int(self))


def _passed(functions: _Functions, name: str, handle: Any) -> bool:
    query = getattr(functions.native, name)
    (status,) = query(handle)
    if int(status) not in (0, _NOT_READY):
        raise functions.failed(query, status)
    return int(status) == 0


class Event:
    """A place in a stream's queue."""

    def __init__(self, functions: _Functions, flags: int) -> None:
        self._functions = functions
        self._owner = _Handle(functions.cuEventCreate(flags), functions.native.cuEventDestroy)
        self._handle = self._owner.handle
        self.synchronize: Call = functions.bound("cuEventSynchronize", self._handle)

    def record(self, stream: Any) -> Event:
        """Put it behind what a stream has queued."""
        self._functions.cuEventRecord(self._handle, stream)
        return self

    def query(self) -> bool:
        """Whether it was passed. Raises: DriverError for work that failed."""
        return _passed(self._functions, "cuEventQuery", self._handle)

    def time_till(self, later: Event) -> float:
        """The milliseconds to a later event, both timed."""
        return float(self._functions.cuEventElapsedTime(self._handle, later._handle))


class _Plain:
    # Memory of the driver itself.

    def __init__(self, functions: _Functions, size: int) -> None:
        self._release = functions.cuMemFree
        self._address = int(functions.cuMemAlloc(size))

    def __int__(self) -> int:
        return self._address

    def free(self) -> None:
        self._release(self._address)


class _PageLocked(_Handle):
    # The owner of an array's memory.

    def __init__(self, functions: _Functions, size: int) -> None:
        super().__init__(int(functions.cuMemHostAlloc(size, 0)), functions.native.cuMemFreeHost)
        self.__array_interface__ = {"shape": (size,), "typestr": "|u1", "data": (self.handle, False), "version": 3}


class _Primary:
    def __init__(self, functions: _Functions, device: Any) -> None:
        self._release = functions.bound("cuDevicePrimaryCtxRelease", device)
        self.push: Call = functions.bound("cuCtxPushCurrent", functions.cuDevicePrimaryCtxRetain(device))
        self.pop: Call = functions.cuCtxPopCurrent

    def detach(self) -> None:
        self._release()


class _Device:
    def __init__(self, functions: _Functions, number: int) -> None:
        self._functions, self._handle = functions, functions.cuDeviceGet(number)
        self.name: str = functions.cuDeviceGetName(256, self._handle).split(b"\0")[0].decode()
        self.arch: str = f"sm_{self.attribute('COMPUTE_CAPABILITY_MAJOR')}{self.attribute('COMPUTE_CAPABILITY_MINOR')}"

    def attribute(self, name: str) -> int:
        which = getattr(self._functions.native.CUdevice_attribute, f"CU_DEVICE_ATTRIBUTE_{name}")
        return int(self._functions.cuDeviceGetAttribute(which, self._handle))

    def retain(self) -> _Primary:
        return _Primary(self._functions, self._handle)


class _Module:
    def __init__(self, functions: _Functions, cubin: bytes) -> None:
        self._functions = functions
        self._handle = functions.cuModuleLoadData(cubin)

    def function(self, name: str) -> Kernel:
        functions = self._functions
        handle = functions.cuModuleGetFunction(self._handle, name.encode())
        return Kernel(functions.native.cuLaunchKernel, functions.failed, handle)


class Bindings:
    """`seam.Driver` made of `cuda.bindings.driver`. Raises: ImportError where the driver's library is missing."""

    Error: type[Exception] = DriverError
    MemoryError: type[Exception] = DriverMemoryError

    def __init__(self) -> None:
        from cuda.bindings import driver as native

        try:
            # The package looks for the library at the first call.
            native.cuDriverGetVersion()
        except RuntimeError as error:
            raise ImportError(str(error)) from None
        self._functions = functions = _Functions(native)
        failed = functions.failed
        self.memcpy_htod_async: Any = Call(native.cuMemcpyHtoDAsync, failed, sized=1)
        self.memcpy_dtoh_async: Any = Call(native.cuMemcpyDtoHAsync, failed, sized=0)
        self.memcpy_dtod_async: Any = functions.cuMemcpyDtoDAsync
        self.memset_d32_async: Any = functions.cuMemsetD32Async
        self.synchronize: Any = functions.cuCtxSynchronize
        self.init: Any = functions.bound("cuInit", 0)

    def count(self) -> int:
        """How many devices there are."""
        return int(self._functions.cuDeviceGetCount())

    def version(self) -> int:
        """The driver's version: 12040 is 12.4."""
        return int(self._functions.cuDriverGetVersion())

    def device(self, number: int) -> _Device:
        """A device."""
        return _Device(self._functions, number)

    def stream(self) -> Stream:
        """A stream that neither waits for the default one nor holds it up."""
        functions = self._functions
        owner = _Handle(int(functions.cuStreamCreate(_NON_BLOCKING)), functions.native.cuStreamDestroy)
        made = Stream(owner.handle)
        made._functions, made._owner, made.synchronize = functions, owner, functions.bound("cuStreamSynchronize", owner.handle)
        return made

    def event(self, timed: bool = False) -> Event:
        """An event."""
        return Event(self._functions, 0 if timed else _DISABLE_TIMING)

    def pool(self) -> Pool:
        """A pool of the current context's memory."""
        functions = self._functions
        return Pool(functions.cuMemAlloc, functions.cuMemFree, DriverMemoryError)

    def mem_alloc(self, size: int) -> Any:
        """Memory from the driver itself."""
        return _Plain(self._functions, size)

    def page_locked(self, size: int) -> np.ndarray:
        """An array of bytes of the host that the driver copies from late."""
        return np.asarray(_PageLocked(self._functions, size))

    def load(self, cubin: bytes) -> _Module:
        """Kernels of compiled code."""
        return _Module(self._functions, cubin)
