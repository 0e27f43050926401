"""Where an array is: on the host, or on a device. Light: nothing of a device is loaded before one is asked for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from tlean._core.array import as_tensor

from ..errors import DTypeError

if TYPE_CHECKING:
    from .array import DeviceArray
    from .context import Context


def context_of(device: str) -> Context | None:
    """The context that "cuda" or "cuda:1" names, None for "cpu". Raises: DeviceError that says what is missing."""
    if device == "cpu":
        return None
    from .context import context

    return context(int(device.partition(":")[2] or 0))


def context_at(x: Any) -> Context | None:
    """The device that an array of ours is on; None for everything else."""
    loaded = sys.modules.get("tlean.cuda.array")
    return x.context if loaded is not None and isinstance(x, loaded.DeviceArray) else None


def array_at(x: Any, dtype: str | None, where: Context | None) -> Any:
    """An array on the host (`where` is None) or on a device; of the value's own dtype if none is given. Raises: DTypeError, ShapeError."""
    return as_tensor(x, dtype) if where is None else device_array(x, dtype, where)


def device_array(x: Any, dtype: str | None, where: Context) -> DeviceArray:
    """An array on a device that nobody else writes to: what is on the host or of another library is copied, ours is as it is.

    Raises: DTypeError for a dtype that does not cast, and for an array of a device that is not `dtype` already; ShapeError.
    """
    from .array import DeviceArray, to_device

    if isinstance(x, DeviceArray) and x.context is not where:
        x = x.numpy()
    if isinstance(x, DeviceArray) or hasattr(x, "__cuda_array_interface__"):
        found = x if isinstance(x, DeviceArray) else to_device(x, where).copy()
        if dtype is not None and found.dtype != dtype:
            raise DTypeError(
                f"an array of dtype {found.dtype} on {found.device} is not taken where {dtype} is expected; make it {dtype} first"
            )
        return found
    return to_device(as_tensor(x, dtype, copy=False).numpy(), where)
