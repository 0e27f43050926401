"""How an op is interpreted: what implements `Ops`. `Cuda` is loaded with the first device."""

from __future__ import annotations

from typing import Any

from ..compiler.graph import Graph
from ..devices import cuda
from ..interpreters.dual import Dual
from ..interpreters.eager import Eager
from ..reference.interpreter import Reference

__all__ = ["Cuda", "Dual", "Eager", "Graph", "Reference"]


def __getattr__(name: str) -> Any:
    if name != "Cuda":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return cuda().Cuda


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
