"""Functions on arrays as kernels: what LAPACK computes, and what else is best said in the language of arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_functions: dict[str, Callable[..., None]] = {}


def install(functions: Mapping[str, Callable[..., None]]) -> None:
    """Use these functions on arrays, by name: this package knows no array library."""
    _functions.update(functions)


class Lapack:
    """A kernel of that name: `kernel(outs, ins, options)` fills the outputs.

    Args:
        name: among those that are installed.
        in_place: whether the output may be the first input's memory.
    """

    def __init__(self, name: str, in_place: bool = False) -> None:
        self.name, self.in_place = name, in_place

    def __call__(self, outs: Any, ins: Any, options: Any) -> None:
        """Run it."""
        _functions[self.name](outs, ins, options)
