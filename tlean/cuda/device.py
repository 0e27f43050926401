"""What the floors above use of CUDA; `tlean.devices` imports it when a device is first asked for."""

from .eager import CudaEager
from .kernels.plan import Mode
from .runtime.array import DeviceArray, device_array, to_device
from .runtime.context import context
from .step import first_not_finite, step_all_at
from .tape import DeviceTape
from .target import target

__all__ = [
    "CudaEager",
    "DeviceArray",
    "DeviceTape",
    "Mode",
    "context",
    "device_array",
    "first_not_finite",
    "step_all_at",
    "target",
    "to_device",
]
