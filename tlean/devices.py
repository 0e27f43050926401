"""Devices by name: "cpu", "cuda", "cuda:1". Nothing of CUDA is loaded before a device is asked for."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ._core.array import as_tensor
from .compiler.cpu import CPU, DEFINED
from .compiler.target import Target
from .cuda import load_rest
from .errors import OptionError

if TYPE_CHECKING:
    from .cuda.runtime.array import DeviceArray
    from .cuda.runtime.context import Context


def cuda() -> ModuleType:
    """CUDA as the floors above use it (`tlean.cuda.device`), loaded by the first call."""
    from .cuda import device

    load_rest()
    return device


def context_of(device: str) -> Context | None:
    """The context that "cuda" or "cuda:1" names, None for "cpu". Raises: DeviceError that says what is missing."""
    return None if device == "cpu" else cuda().context(int(device.partition(":")[2] or 0))


def context_at(x: Any) -> Context | None:
    """The device that an array of ours is on; None for everything else."""
    loaded = sys.modules.get("tlean.cuda.runtime.array")
    return x.context if loaded is not None and isinstance(x, loaded.DeviceArray) else None


def device_of(arrays: Sequence[Any]) -> str:
    """The device of the first device array among these, "cuda:<number>"; "cpu" where there is none."""
    where = next(filter(None, map(context_at, arrays)), None)
    return "cpu" if where is None else f"cuda:{where.device}"


def array_at(x: Any, dtype: str | None, where: Context | None) -> Any:
    """An array on the host (`where` is None) or on a device; of the value's own dtype if none is given. Raises: DTypeError, ShapeError."""
    return as_tensor(x, dtype) if where is None else device_array(x, dtype, where)


def device_array(x: Any, dtype: str | None, where: Context) -> DeviceArray:
    """An array on a device; see `tlean.cuda.runtime.array.device_array`."""
    return cuda().device_array(x, dtype, where)


def target_of(device: str, precision: str = "fp32", deterministic: bool = True, fast_kernels: bool = True) -> Target:
    """The target of a device, "cpu", "cuda" or "cuda:<number>", with the mode of a GPU's kernels.

    Args:
        fast_kernels: False runs reference definitions on the processor, and on a GPU the ops that make up fused ones.

    Raises: OptionError for another device; DeviceError that says what is missing for CUDA.
    """
    if isinstance(device, str) and device == "cpu":
        return CPU if fast_kernels else DEFINED
    match = re.fullmatch(r"cuda(?::(\d+))?", device) if isinstance(device, str) else None
    if match is None:
        raise OptionError(f"device must be 'cpu', 'cuda' or 'cuda:<number>', got {device!r}")
    load = cuda()
    return load.target(load.context(int(match[1] or 0)).device, load.Mode(precision, deterministic), fast_kernels)
