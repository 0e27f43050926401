"""Derivatives of solutions: by the implicit function theorem, not through the steps of a solver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any



def root_at(residual: Callable[[Any], Any], x: Any) -> Any:
    return x


def minimum_at(f: Callable[[Any], Any], x: Any) -> Any:
    return x
