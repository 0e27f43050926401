"""What goes to the driver's library directly, for PyCUDA lacks it: order between the streams of libraries, graphs, whose memory it is."""

from __future__ import annotations

import ctypes
import functools
import sys
from typing import Any

from tlean.errors import DeviceError

#: The streams that have a number instead of an address, in DLPack and in the driver: the legacy default stream, and no stream at all.
DEFAULT_STREAM, NO_STREAM = 1, -1

_HANDLE, _OUT = ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p)
_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cuEventCreate": (_OUT, ctypes.c_uint),
    "cuEventRecord": (_HANDLE, _HANDLE),
    "cuEventDestroy_v2": (_HANDLE,),
    "cuStreamWaitEvent": (_HANDLE, _HANDLE, ctypes.c_uint),
    "cuStreamIsCapturing": (_HANDLE, ctypes.POINTER(ctypes.c_int)),
    "cuPointerGetAttribute": (_HANDLE, ctypes.c_int, ctypes.c_uint64),
    "cuStreamBeginCapture_v2": (_HANDLE, ctypes.c_int),
    "cuStreamEndCapture": (_HANDLE, _OUT),
    "cuGraphInstantiateWithFlags": (_OUT, _HANDLE, ctypes.c_ulonglong),
    "cuGraphLaunch": (_HANDLE, _HANDLE),
    "cuGraphExecDestroy": (_HANDLE,),
    "cuGraphDestroy": (_HANDLE,),
}
_DISABLE_TIMING = 2
_DEVICE_ORDINAL = 9


@functools.cache
def native(name: str) -> Any:
    """A function of the driver's library, which answers with a status; None where the driver does not have it."""
    try:
        # A separate loader object: argument types set here affect no other code.
        function = getattr(ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"), name)
    except (OSError, AttributeError):
        return None
    function.argtypes, function.restype = _SIGNATURES[name], ctypes.c_int
    return function


def _require(name: str) -> Any:
    function = native(name)
    if function is None:
        raise DeviceError(f"CUDA: the driver does not have {name}; update the NVIDIA driver")
    return function


def order(first: int, then: int) -> None:
    """What is queued on stream `then` from now on waits for what is queued on `first`. The device's context is current.

    Raises: DeviceError for what is no stream.
    """
    if first == then:
        return
    event = ctypes.c_void_p()
    status = _require("cuEventCreate")(ctypes.byref(event), _DISABLE_TIMING)
    if not status:
        status = _require("cuEventRecord")(event, first) or _require("cuStreamWaitEvent")(then, event, 0)
        _require("cuEventDestroy_v2")(event)
    if status:
        raise DeviceError(f"CUDA: streams {first:#x} and {then:#x} cannot wait for each other (error {status})")


def captures(stream: int) -> bool:
    """Whether what is queued on a stream is recorded for a graph, so that events of it mean nothing outside."""
    function, status = native("cuStreamIsCapturing"), ctypes.c_int()
    return function is not None and (function(stream, ctypes.byref(status)) != 0 or status.value != 0)


def device_of(address: int) -> int | None:
    """The device whose memory an address is; None where the driver does not know it."""
    function, device = native("cuPointerGetAttribute"), ctypes.c_int(-1)
    if function is None or function(ctypes.byref(device), _DEVICE_ORDINAL, address):
        return None
    return device.value
