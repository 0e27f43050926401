"""Where an array is: on the host, or on a device. Light: nothing of a device is loaded before one is asked for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from tlean._core.array import as_tensor

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
    """See `tlean.cuda.array.device_array`, which is loaded now."""
    from .array import device_array

    return device_array(x, dtype, where)
