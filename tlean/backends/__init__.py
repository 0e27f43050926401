"""How an op is interpreted: each module implements `Ops`. A backend is imported when it is first named."""

from __future__ import annotations

import importlib
from typing import Any

_BACKENDS = {"Eager": ".eager", "Graph": ".graph", "Dual": ".dual", "Reference": ".reference", "Cuda": "..cuda.eager"}

__all__ = ["Cuda", "Dual", "Eager", "Graph", "Reference"]


def __getattr__(name: str) -> Any:
    if name not in _BACKENDS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_BACKENDS[name], __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_BACKENDS])
