"""What is imported when it is first used: names of a package, and functions that rooms below call in rooms above."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from .locks import Lock

#: One thread at a time: two that import a module and its package, each in its way, would wait for each other.
_lock = Lock()


def names(package: str, modules: Mapping[str, str], holders: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The functions `__getattr__` and `__dir__` of a package whose names are imported when they are first asked for.

    Args:
        package: its name.
        modules: the names that are modules -> which.
        holders: all other names -> the module that has them.

    Returns: `__getattr__`, `__dir__`.
    """
    space = vars(sys.modules[package])

    def attribute(name: str) -> Any:
        module = modules.get(name) or holders.get(name)
        if module is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        with _lock:
            value = import_module(module)
            space[name] = result = value if name in modules else getattr(value, name)
        return result

    return attribute, lambda: sorted({*space, *modules, *holders})


def function(module: str, name: str) -> Callable[..., Any]:
    """A function that imports a module when it is first called, and calls the module's function of that name.

    Args:
        module: its whole name.
        name: of the function.
    """
    target: Callable[..., Any] | None = None

    def call(*arguments: Any) -> Any:
        nonlocal target
        if target is None:
            with _lock:
                target = getattr(import_module(module), name)
        return target(*arguments)

    return call
