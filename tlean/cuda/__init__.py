"""CUDA devices, through PyCUDA or cuda-bindings, which are imported when a device is first asked for: `docs/cuda.md`.

Sessions, trainers, tapes and compiled programs run on one with `device="cuda"`. Here are the devices themselves, arrays, memory, and the
ops on arrays with no tape (`docs/cuda_ops.md` lists their kernels).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import (
        device_count,
        elementwise,
        empty_cache,
        is_available,
        kernel,
        memory_stats,
        ops,
        set_memory_limit,
        synchronize,
        to_device,
    )  # fmt: skip

__all__ = [
    "device_count", "elementwise", "empty_cache", "is_available", "kernel", "memory_stats", "ops", "set_memory_limit", "synchronize",
    "to_device",
]  # fmt: skip

_rest: list[Callable[[], object]] = []


def with_device(load: Callable[[], object]) -> None:
    """Note what is to be loaded when a device is first asked for, such as the sessions that compute there."""
    _rest.append(load)


def load_rest() -> None:
    """Load what was noted."""
    while _rest:
        _rest.pop()()


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(".api", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
