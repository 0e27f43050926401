"""The functions of `tl.cuda`: the devices themselves, arrays, memory, and the ops on arrays with no tape."""

from __future__ import annotations

from typing import Any

from ..arguments.literals import Precision
from ..errors import DeviceError, OptionError
from .calls.launch import CudaOps
from .custom import elementwise, kernel
from .kernels.plan import Mode
from .runtime.array import DeviceArray
from .runtime.array import to_device as move
from .runtime.context import context, driver, existing

__all__ = [
    "device_count", "elementwise", "empty_cache", "is_available", "kernel", "memory_stats", "ops", "set_memory_limit", "synchronize",
    "to_device",
]  # fmt: skip


def is_available() -> bool:
    """Whether PyCUDA or cuda-bindings, the driver and at least one device are there."""

    try:
        driver()
    except DeviceError:
        return False
    return True


def device_count() -> int:
    """How many devices there are. Raises: DeviceError that says what is missing."""

    return driver().count()


def synchronize() -> None:
    """Wait until all work queued on every device in use is done. Raises: DeviceError that says what is missing."""

    driver()
    for found in existing():
        found.synchronize()


def memory_stats(device: int = 0) -> dict[str, int | None]:
    """Bytes on a device: `live` in arrays, the `peak` of that, `cached` by the pool for reuse, and the `limit` (None without one).

    Args:
        device: its number.

    Raises: DeviceError.
    """

    return context(device).memory_stats()


def set_memory_limit(limit: int | None, device: int = 0) -> None:
    """The most bytes that arrays and the pool may have on a device; beyond it an allocation raises DeviceError.

    Without a call it is `TLEAN_CUDA_MEMORY_LIMIT` from the environment, or else what the device has.

    Args:
        limit: bytes, or None for no limit.
        device: the number of the device.

    Raises: OptionError for what is no number of bytes; DeviceError.
    """

    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 0):
        raise OptionError(f"set_memory_limit: a number of bytes or None, got {limit!r}")
    context(device).limit = limit


def empty_cache() -> None:
    """Give memory that the pools keep for reuse back to the driver. Raises: DeviceError that says what is missing."""

    driver()
    for found in existing():
        found.empty_cache()


def to_device(x: Any, device: int = 0) -> DeviceArray:
    """An array on a device: a copy of a host array, or the memory of an object with `__cuda_array_interface__` or `__dlpack__`.

    Args:
        x: the array.
        device: its number.

    Raises: DeviceError that says what is missing; DTypeError, ShapeError.
    """

    return move(x, context(device))


def ops(device: int = 0, *, precision: Precision = "fp32", deterministic: bool = True) -> Any:
    """The ops on device arrays, with no tape: `tl.cuda.ops().matmul(a, b)`.

    Args:
        device: the number of the device.
        precision: of matrix products: "fp32", "tf32" (tensor cores) or "fp64" (sums in double).
        deterministic: every result repeats bit for bit.

    Raises: DeviceError that says what is missing; OptionError for another precision.
    """

    return CudaOps(device, Mode(precision, deterministic))
